"""Words every floor uses: errors, configuration, records, Runs; imports nothing of ours and nothing heavy."""
