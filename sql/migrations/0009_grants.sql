-- Who may read although there is a password: share links and the tokens of programs. Of each secret
-- there is a hash only, so that nobody who reads this table can use it.
CREATE TABLE grants (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind         varchar(5) NOT NULL CHECK (kind IN ('share', 'token')),
    secret_hash  bytea NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    name         varchar(50) NOT NULL,
    view         varchar(500) NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    -- written once an hour at most
    last_used_at timestamptz
);
