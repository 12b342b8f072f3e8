"""Stand-ins for engines that cannot be had here, made from the documentation of their interfaces."""
