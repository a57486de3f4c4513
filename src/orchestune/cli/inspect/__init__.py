"""Commands that show recorded data: status, trials, logs, files, differences, exports."""
