"""What a model keeps of the past: along rays in the world model, by variants in models of videos."""
