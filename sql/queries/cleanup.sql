-- name: start_cleanup_run
-- Note that a cleanup begins.
INSERT INTO cleanup_runs (started_at, status) VALUES ($1, 'running') RETURNING id;

-- name: finish_cleanup_run
-- Note how a cleanup ended and what it removed.
UPDATE cleanup_runs
SET finished_at = $2, status = $3, partitions_dropped = $4, events_deleted = $5,
    visitors_deleted = $6, events_packed = $7, error = $8
WHERE id = $1;

-- name: abandon_cleanup_runs
-- A run that is still open while nobody holds the lock died with its process.
UPDATE cleanup_runs SET status = 'failed', error = 'interrupted' WHERE status = 'running';

-- name: last_cleanup
-- When the last successful cleanup began.
SELECT max(started_at) FROM cleanup_runs WHERE status = 'done';

-- name: forget_cleanup_runs
-- The log of runs is bounded too.
DELETE FROM cleanup_runs WHERE started_at < $1;

-- name: lock_cleanup
-- One cleanup at a time, whatever the number of instances; held by the connection.
SELECT pg_try_advisory_lock(hashtext('maicivy.cleanup'));

-- name: unlock_cleanup
-- Let the next one in.
SELECT pg_advisory_unlock(hashtext('maicivy.cleanup'));

-- name: delete_expired_events
-- Remove at most $4 of the events from the place ($1, $2) on and before $3. Answers how many, and
-- where the next begin: a bite that began at the first event again would read all that are removed.
WITH ahead AS (
    SELECT created_at, id
    FROM analytics_events
    WHERE created_at >= $1 AND created_at < $3 AND (created_at, id) >= ($1, $2::uuid)
    ORDER BY created_at, id
    LIMIT $4
),
last AS MATERIALIZED (
    SELECT created_at, id FROM ahead ORDER BY created_at DESC, id DESC LIMIT 1
),
deleted AS (
    DELETE FROM analytics_events AS e
    WHERE e.created_at >= $1 AND e.created_at < $3 AND (e.created_at, e.id) >= ($1, $2::uuid)
      AND (e.created_at, e.id) <= ((SELECT created_at FROM last), (SELECT id FROM last))
    RETURNING 1
)
SELECT last.created_at, last.id, (SELECT count(*) FROM deleted) AS events FROM last;

-- name: delete_expired_places
-- Remove one bite of the places that are older than $1.
WITH deleted AS (
    DELETE FROM event_places
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM event_places
        WHERE created_at AT TIME ZONE 'UTC' < $1::timestamptz AT TIME ZONE 'UTC'
        LIMIT $2 FOR UPDATE SKIP LOCKED))
    RETURNING 1
)
SELECT count(*) FROM deleted;

-- name: delete_expired_visitors
-- Remove one bite of the visitors who have not been here since $1.
WITH expired AS (
    SELECT id FROM visitors WHERE last_visit < $1 ORDER BY last_visit LIMIT $2
    FOR UPDATE SKIP LOCKED
),
deleted AS (
    DELETE FROM visitors AS v USING expired WHERE v.id = expired.id RETURNING 1
)
SELECT count(*) FROM deleted;

-- name: delete_expired_sketches
-- Sketches live as long as the longest period that is made of them.
DELETE FROM unique_sketches WHERE day < $1;
