"""What the scripts are made of; none of these modules is run by itself."""
