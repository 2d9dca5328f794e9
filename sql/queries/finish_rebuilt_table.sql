-- Give a rebuilt table the indexes that it lacks, and statistics for the planner.
-- table text. Returns one row of nothing.
SELECT rebuild.finish(%(table)s)
