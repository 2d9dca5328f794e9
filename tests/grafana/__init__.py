"""The shipped Prometheus and Grafana files: well formed, consistent with each other, naming only what exists."""
