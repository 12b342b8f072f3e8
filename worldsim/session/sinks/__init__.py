"""What reads the ticks of a session: report, scores, video, replay check."""
