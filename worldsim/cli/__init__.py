"""Behind the front door: what was asked for, playing without a window, playing in one."""
