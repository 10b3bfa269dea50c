"""What else one could run: written from the papers, or as a user of the library would write it."""
