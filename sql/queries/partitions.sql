-- name: select_partitions
-- The partitions of analytics_events, oldest first.
SELECT c.relname AS name
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'analytics_events'::regclass
ORDER BY 1;

-- name: lock_partitions
-- One instance at a time makes or drops partitions; until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('maicivy.partitions'));
