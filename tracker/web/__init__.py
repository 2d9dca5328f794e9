"""The application of a web worker: the webhook that receives callbacks, and API, pages, metrics and health checks."""
