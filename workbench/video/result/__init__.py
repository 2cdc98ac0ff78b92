"""What a query gives back, and the forms it takes."""
