-- What was read of web servers' logs, so that no line is counted twice: a log is known by what it
-- begins with, whatever its file is called and however much has been added. Only keyed hashes are
-- kept, of the first `head_bytes` and of the first `read_bytes` bytes (uncompressed).
CREATE TABLE log_imports (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    head_bytes integer NOT NULL,
    head       bytea NOT NULL,
    read_bytes bigint NOT NULL,
    digest     bytea NOT NULL,
    updated_at timestamptz NOT NULL
);

-- Whether the first events of this database were made up, by `run.py demo`.
ALTER TABLE installation ADD COLUMN is_demo boolean NOT NULL DEFAULT false;
