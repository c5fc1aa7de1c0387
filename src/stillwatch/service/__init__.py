"""Run beside a gateway: take logs in, publish signed decision snapshots, answer each request in memory."""
