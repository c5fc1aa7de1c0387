"""Gateways with the real servers: Envoy, nginx, uvicorn, LiteLLM, before a small model server."""
