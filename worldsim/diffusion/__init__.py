"""The papers' mathematics: forward process, schedules, samplers, methods and the algorithms that play them."""
