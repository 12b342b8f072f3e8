"""Where true frames were seen from: by what memory would draw from there, and pixel by pixel."""
