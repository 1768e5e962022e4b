"""One page on localhost and the HTTP API behind it. Nothing of a photo is written to disk.

FastAPI and a page of its own: a slider's move is one small binary answer, added to the photo in the browser; divider,
faces and controls are plain elements that keyboards and screen readers know. gradio, twenty times as large, would send
a whole picture a move and bring its own look.
"""
