-- name: select_all_period_totals
-- Every total that Redis still mirrors: days from $1 on, weeks and months from $2 on.
SELECT period, period_start, events, letters
FROM rollup_periods
WHERE (period = 'day' AND period_start >= $1) OR (period <> 'day' AND period_start >= $2)
ORDER BY period, period_start;

-- name: select_visitors_since
-- Visitors by their last visit, for the active set.
SELECT id, last_visit FROM visitors WHERE last_visit >= $1;

-- name: select_visitors_between
-- Who was there from $1 to $2 exclusive, for the unique counts of open periods. A last visit after
-- the end is one of a clock that ran ahead: only then the events are asked.
SELECT v.id::text AS id
FROM visitors AS v
WHERE v.last_visit >= $1
  AND (v.last_visit < $2 OR EXISTS (
      SELECT 1 FROM events AS e
      WHERE e.visitor_id = v.id AND e.created_at >= $1 AND e.created_at < $2
        AND e.block_to >= $1 AND e.block_from < $2
        AND (e.block_visitors IS NULL OR v.id = ANY(e.block_visitors))));

-- name: select_later_periods
-- Periods that begin after the day $1 and have events: those of a clock that ran ahead.
SELECT period, period_start FROM rollup_periods WHERE period_start > $1 ORDER BY 1, 2;

-- name: forget_open_sketches
-- The days from $1 on are not over, whatever a clock that ran ahead thought of them.
DELETE FROM unique_sketches WHERE day >= $1;

-- name: count_themes
-- How many themes the ranking has, $1 at the most.
SELECT count(*) FROM (SELECT 1 FROM theme_totals LIMIT $1) AS ranked;

-- name: select_day_visitors
-- The visitors of a closed day, from its rows ($1 inclusive to $2 exclusive).
SELECT DISTINCT visitor_id FROM events
WHERE created_at >= $1 AND created_at < $2 AND block_to >= $1 AND block_from < $2;

-- name: select_sketches
-- Stored unique-visitor sketches of days from $1 to $2 exclusive.
SELECT day, sketch FROM unique_sketches WHERE day >= $1 AND day < $2 ORDER BY day;

-- name: select_unsketched_days
-- Closed days before $1 that have events and no sketch yet.
SELECT r.period_start AS day
FROM rollup_periods AS r
LEFT JOIN unique_sketches AS s ON s.day = r.period_start
WHERE r.period = 'day' AND r.period_start < $1 AND r.period_start >= $2 AND s.day IS NULL
ORDER BY 1;

-- name: select_visited_periods
-- Which periods, by their first days $1 and first instants $2, had a visitor who is still known.
SELECT p.period_start
FROM unnest($1::date[], $2::timestamptz[]) AS p (period_start, instant)
WHERE EXISTS (SELECT FROM visitors AS v WHERE v.last_visit >= p.instant)
   OR EXISTS (SELECT FROM unique_sketches AS s WHERE s.day >= p.period_start);

-- name: select_copy_generation
-- How often a visitor was forgotten.
SELECT copy_generation FROM installation;

-- name: lock_filling
-- One process at a time copies visitors to Redis; until the end of the transaction.
SELECT pg_try_advisory_xact_lock(hashtext('maicivy.filling'))::integer;

-- name: insert_sketch
-- Keep the sketch of a closed day, unless somebody was forgotten since the generation $3, when it
-- may have begun to be made.
INSERT INTO unique_sketches (day, sketch)
SELECT $1, $2 FROM (SELECT FROM installation WHERE copy_generation = $3 FOR SHARE) AS unchanged
ON CONFLICT (day) DO UPDATE SET sketch = excluded.sketch;
