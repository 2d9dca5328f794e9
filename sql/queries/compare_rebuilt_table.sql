-- What differs between a live table and its rebuilt one.
-- table text. Returns one row, a JSON object that the migration of rebuild.compare describes.
SELECT rebuild.compare(%(table)s) AS differences
