"""Outside worlds: made by somebody who had not read the detector, from real prompts and invented identities."""
