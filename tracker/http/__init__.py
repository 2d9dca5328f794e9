"""The HTTP/1.1 server under the application: uvicorn's protocol with limits, and the fast path of whole requests."""
