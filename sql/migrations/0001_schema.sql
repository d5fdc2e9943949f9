-- What this installation is: its identity and its secret.
CREATE TABLE installation (
    id          boolean PRIMARY KEY DEFAULT true CHECK (id),
    database_id uuid NOT NULL DEFAULT gen_random_uuid(),
    secret_key  text NOT NULL,
    timezone    text NOT NULL
);

-- One key a day for hashing client addresses; yesterday's is deleted, and with it the way back.
CREATE TABLE address_keys (
    day date PRIMARY KEY,
    key bytea NOT NULL
);

CREATE TABLE visitors (
    id               uuid PRIMARY KEY,
    ip_hash          char(64) NOT NULL,
    browser          varchar(50) NOT NULL,
    os               varchar(50) NOT NULL,
    device           varchar(50) NOT NULL,
    language         varchar(10) NOT NULL,
    profile_detected varchar(50) NOT NULL DEFAULT 'unknown',
    visit_count      integer NOT NULL DEFAULT 1,
    first_visit      timestamptz NOT NULL,
    last_visit       timestamptz NOT NULL
);

-- The visitors of an open period are those whose last visit is not before its start.
CREATE INDEX idx_visitors_last_visit ON visitors (last_visit);

-- One partition for each day in UTC, made ahead by the program.
CREATE TABLE analytics_events (
    id               uuid NOT NULL,
    visitor_id       uuid NOT NULL REFERENCES visitors (id),
    event_type       varchar(50) NOT NULL,
    event_data       jsonb,
    page_url         varchar(500),
    referrer         varchar(500),
    session_duration integer DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    deleted_at       timestamptz,
    PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);

-- The primary key serves "newest first"; (event_type, created_at) serves every search by type.
CREATE INDEX idx_analytics_events_visitor_id ON analytics_events (visitor_id);
CREATE INDEX idx_analytics_events_type_date ON analytics_events (event_type, created_at);

-- Rollups: written in the transaction of the events that they count. Days are local days.
CREATE TABLE rollup_events (
    day        date NOT NULL,
    event_type varchar(50) NOT NULL,
    events     bigint NOT NULL,
    PRIMARY KEY (day, event_type)
) WITH (fillfactor = 50);

CREATE TABLE rollup_letters (
    day         date NOT NULL,
    letter_type varchar(20) NOT NULL,
    letters     bigint NOT NULL,
    PRIMARY KEY (day, letter_type)
) WITH (fillfactor = 50);

CREATE TABLE rollup_themes (
    day   date NOT NULL,
    theme varchar(50) NOT NULL,
    views bigint NOT NULL,
    PRIMARY KEY (day, theme)
) WITH (fillfactor = 50);

-- The same counts added up for the keys that Redis mirrors, so that one statement can bump them
-- and return the new absolute values.
CREATE TABLE rollup_periods (
    period       varchar(5) NOT NULL CHECK (period IN ('day', 'week', 'month')),
    period_start date NOT NULL,
    events       bigint NOT NULL,
    letters      bigint NOT NULL,
    PRIMARY KEY (period, period_start)
) WITH (fillfactor = 50);

CREATE TABLE theme_totals (
    theme varchar(50) COLLATE "C" PRIMARY KEY,
    views bigint NOT NULL
) WITH (fillfactor = 50);

CREATE INDEX idx_theme_totals_views ON theme_totals (views, theme);

-- The HyperLogLog bytes (Redis' own format) of the unique visitors of closed days.
CREATE TABLE unique_sketches (
    day    date PRIMARY KEY,
    sketch bytea NOT NULL
);

CREATE TABLE cleanup_runs (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at         timestamptz NOT NULL,
    finished_at        timestamptz,
    status             varchar(10) NOT NULL CHECK (status IN ('running', 'done', 'failed')),
    partitions_dropped integer NOT NULL DEFAULT 0,
    events_deleted     bigint NOT NULL DEFAULT 0,
    visitors_deleted   bigint NOT NULL DEFAULT 0,
    error              text
);
