"""The local server: an HTTP API and a page over the job queue (extra "server").

Its modules may import FastAPI when they are loaded; nothing outside of them does.
"""
