-- name: ensure_installation
-- Make this installation's identity if it has none.
INSERT INTO installation (secret_key, timezone) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: select_installation
-- Who this installation is.
SELECT database_id, secret_key, timezone FROM installation;

-- name: update_timezone
-- Remember the zone that the rollups were made for.
UPDATE installation SET timezone = $1;

-- name: ensure_address_key
-- Make the key of a day unless another instance was first.
INSERT INTO address_keys (day, key) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: select_address_key
-- The key of a day.
SELECT key FROM address_keys WHERE day = $1;

-- name: forget_address_keys
-- Delete the keys of days that are over.
WITH deleted AS (DELETE FROM address_keys WHERE day < $1 RETURNING 1)
SELECT count(*) FROM deleted;

-- name: lock_address_keys
-- Nobody else reads or writes keys until the end of the transaction.
LOCK TABLE address_keys IN ACCESS EXCLUSIVE MODE;

-- name: select_address_keys
-- Every key that there is, to be written again.
SELECT day, key FROM address_keys ORDER BY day;

-- name: truncate_address_keys
-- Begin a new file; the old one goes with everything that was deleted in it.
TRUNCATE address_keys;

-- name: select_migrations
-- What was applied, in order.
SELECT name FROM schema_migrations ORDER BY version;
