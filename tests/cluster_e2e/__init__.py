"""The whole system on a real node: images, chart, operator, load, crashes."""
