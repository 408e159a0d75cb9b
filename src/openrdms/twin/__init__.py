"""The digital twin: the service's own parts run a scenario on a simulated cluster, quickly."""
