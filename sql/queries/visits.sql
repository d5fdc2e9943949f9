-- name: lock_visits
-- One at a time folds events into visits, packs visits or takes some out; until the end of the
-- transaction.
SELECT pg_advisory_xact_lock(hashtext('maicivy.visits'));

-- name: has_unfolded
-- Are there events that are not in the visits and rollups yet?
SELECT EXISTS (SELECT FROM unfolded_events);

-- name: fold_events
-- Bring about $2 of them in, by the local days of the zone $1; answers how many.
SELECT fold_events($1, $2);

-- name: select_days_to_pack
-- The days before $1 that have visits which are not packed, and no events that are still to be folded
-- (by the local days of the zone $2): what came later would begin new visits.
SELECT DISTINCT day
FROM visits
WHERE day < least($1::date,
    (SELECT (min(first_at) AT TIME ZONE $2)::date FROM unfolded_events))
ORDER BY day;

-- name: pack_visits
-- Move some visits of the day $1 into a block; answers how many.
SELECT pack_visits($1);

-- name: delete_expired_visits
-- Remove one bite of the visits of $1 and before.
WITH deleted AS (
    DELETE FROM visits WHERE id = ANY(ARRAY(SELECT id FROM visits WHERE day <= $1 LIMIT $2))
    RETURNING 1
)
SELECT count(*) FROM deleted;

-- name: delete_expired_visit_blocks
-- Remove the packed visits of $1 and before; answers how many those were.
WITH deleted AS (DELETE FROM visit_blocks WHERE day <= $1 RETURNING visits)
SELECT coalesce(sum(visits), 0)::bigint FROM deleted;

-- name: delete_expired_marks
-- Remove one bite of the marks of visitors who have not been here since the day $1.
WITH deleted AS (
    DELETE FROM visitor_marks
    WHERE visitor_id = ANY(ARRAY(SELECT visitor_id FROM visitor_marks WHERE last_day < $1 LIMIT $2))
    RETURNING 1
)
SELECT count(*) FROM deleted;

-- name: delete_expired_rollups
-- Remove the rollups of the days before $1, which begins at $2.
WITH by_value AS (DELETE FROM rollup_values WHERE day < $1),
by_duration AS (DELETE FROM rollup_durations WHERE day < $1)
DELETE FROM rollup_hours WHERE hour < $2;

-- name: select_blocks_of_visitor
-- The blocks that hold visits of the visitor $1, at most $2.
SELECT id FROM visit_blocks WHERE $1::uuid = ANY(visitor_ids) LIMIT $2;

-- name: unpack_visits
-- Make rows of the visits of the block $1 again.
SELECT unpack_visits($1);

-- name: uncount_visitor
-- Take the visitor $1, who has no packed visits, out of the unique visitors.
SELECT uncount_visitor($1);

-- name: delete_visits_of_visitor
-- Remove the visits of a visitor that are not packed, and the marks.
WITH visits AS (DELETE FROM visits WHERE visitor_id = $1)
DELETE FROM visitor_marks WHERE visitor_id = $1;

-- name: select_rollup_differences
-- Local days from $1 on whose rollups do not say what the totals of the day say, but for days of which
-- events are not folded yet. Days are those of the zone $2.
SELECT t.day, t.name, t.told::bigint, t.total::bigint
FROM (
    SELECT p.period_start AS day, d.name, d.told, d.total
    FROM rollup_periods AS p
    LEFT JOIN rollup_values AS r ON r.dimension = 'all' AND r.value = '' AND r.day = p.period_start
    CROSS JOIN LATERAL (
        VALUES ('events', coalesce(r.events, 0), p.events), ('letters', coalesce(r.letters, 0), p.letters)
    ) AS d (name, told, total)
    WHERE p.period = 'day' AND p.period_start >= $1
) AS t
WHERE t.told <> t.total AND NOT EXISTS (
          SELECT FROM unfolded_events AS u
          WHERE t.day BETWEEN (u.first_at AT TIME ZONE $2)::date AND (u.last_at AT TIME ZONE $2)::date)
ORDER BY 1, 2;
