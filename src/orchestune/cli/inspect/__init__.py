"""Commands that show what was recorded: status, trials, logs, files, differences, exports."""
