"""An async web scraping framework: write a spider, run it politely, get every page answered."""
