-- name: lock_grants
-- Make share links and tokens one at a time, so that their number is bounded.
SELECT pg_advisory_xact_lock(hashtext('maicivy.grants'));

-- name: forget_expired_grants
-- Delete the share links and tokens that had expired at $1.
DELETE FROM grants WHERE expires_at <= $1;

-- name: select_grants
-- Every share link and token, newest first.
SELECT id, kind, secret_hash, name, view, created_at, expires_at, last_used_at
FROM grants
ORDER BY created_at DESC, id;

-- name: insert_grant
-- Store a share link or a token: kind, hash, name, view, when it was made, when it ends.
INSERT INTO grants (kind, secret_hash, name, view, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id;

-- name: touch_grant
-- Note that $1 was used at $2.
UPDATE grants SET last_used_at = $2 WHERE id = $1;

-- name: delete_grant
-- Revoke the share link or token $2 of the kind $1; returns it if it was there.
DELETE FROM grants WHERE kind = $1 AND id = $2 RETURNING id;
