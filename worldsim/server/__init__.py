"""A session in a browser: pictures go down one WebSocket, keys come up. It knows no pygame and no worlds."""
