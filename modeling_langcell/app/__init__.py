"""`langcell app` without its layout: what happens behind the buttons. The layout is `hub_cards/space/app.py`."""
