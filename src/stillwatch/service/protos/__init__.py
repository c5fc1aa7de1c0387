"""Envoy's ext_authz and ext_proc messages, the part that is read and written here; made by `make protos`."""
