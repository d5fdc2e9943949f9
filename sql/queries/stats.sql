-- name: select_period_totals
-- Events and letters of the current day, week and month ($1, $2, $3: their first days).
SELECT period, period_start, events, letters
FROM rollup_periods
WHERE (period, period_start) IN (('day', $1::date), ('week', $2::date), ('month', $3::date));

-- name: count_visitors_between
-- How many visitors were there from $1 to $2 exclusive: the unique visitors of an open period. A
-- last visit after the end is one of a clock that ran ahead: only then the events are asked.
SELECT count(*)
FROM visitors AS v
WHERE v.last_visit >= $1
  AND (v.last_visit < $2 OR EXISTS (
      SELECT 1 FROM events AS e
      WHERE e.visitor_id = v.id AND e.created_at >= $1 AND e.created_at < $2
        AND e.block_to >= $1 AND e.block_from < $2
        AND (e.block_visitors IS NULL OR v.id = ANY(e.block_visitors))));

-- name: count_active_visitors
-- How many visitors were here after an instant: the active ones, as Redis' active set has them.
SELECT count(*) FROM visitors WHERE last_visit > $1;

-- name: select_letters
-- Letters by kind for each day from $1 to $2 inclusive, zeros filled.
SELECT d.day::date AS day,
       coalesce(sum(l.letters) FILTER (WHERE l.letter_type = 'motivation'), 0)::bigint
           AS motivation,
       coalesce(sum(l.letters) FILTER (WHERE l.letter_type = 'anti_motivation'), 0)::bigint
           AS anti_motivation
FROM generate_series($1::date::timestamp, $2::date::timestamp, interval '1 day') AS d (day)
LEFT JOIN rollup_letters AS l ON l.day = d.day::date
GROUP BY 1
ORDER BY 1;

-- name: select_themes
-- The most viewed themes, in the order of Redis' ZREVRANGE.
SELECT theme, views FROM theme_totals ORDER BY views DESC, theme DESC LIMIT $1;
