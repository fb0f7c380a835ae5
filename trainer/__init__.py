"""trainer: a directory of scenes becomes a better vision-language-action policy."""
