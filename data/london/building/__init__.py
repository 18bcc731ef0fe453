"""How the London pack is made from open data. Run `build.py`; the product never imports this."""
