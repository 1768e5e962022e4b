"""One page on localhost and the HTTP API behind it. Nothing of a photo outlives the request that brought it."""
