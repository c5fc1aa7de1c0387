"""The steps from an empty database to the newest schema, oldest first; they only go forward."""
