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
DELETE FROM address_keys WHERE day < $1;

-- name: select_migrations
-- What was applied, in order.
SELECT name FROM schema_migrations ORDER BY version;
