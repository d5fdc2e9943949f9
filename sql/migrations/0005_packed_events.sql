-- No statement searches by type any more; what is left serves time, erasure and the foreign key.
DROP INDEX idx_analytics_events_type_date;

-- Events of closed days, up to 4,000 in a row, column by column, which PostgreSQL compresses well.
-- Events are ordered by visitor, then time. Text and data are kept once each in a list (`kinds`:
-- [type, data]; `pages`; `referrers`; `visitor_ids`; `id_tails`), and events hold their places in it.
CREATE TABLE packed_events (
    block_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    events      integer NOT NULL,
    visitor_ids uuid[] NOT NULL,
    kinds       jsonb NOT NULL,
    pages       jsonb NOT NULL,
    referrers   jsonb NOT NULL,
    visitor     smallint[] NOT NULL,
    kind        smallint[] NOT NULL,
    page        smallint[] NOT NULL,
    referrer    smallint[] NOT NULL,
    duration    integer[] NOT NULL,
    -- milliseconds since first_at, which has no part of one, as 65,536 * ms_high + ms_low + 32,768;
    -- the microseconds of those instants that have any
    ms_high     smallint[] NOT NULL,
    ms_low      smallint[] NOT NULL,
    micros      smallint[],
    -- x and y of data that have both as integers of up to four digits; -32768 for the others
    x           smallint[] NOT NULL,
    y           smallint[] NOT NULL,
    -- a UUIDv7 is the milliseconds of the event's time, 12 bits, and 64 that few differ in; others whole
    id_counter  smallint[],
    id_tail     smallint[],
    id_tails    bigint[],
    ids         uuid[],
    -- NULL where every event's is its created_at, or NULL
    updated_at  timestamptz[],
    deleted_at  timestamptz[]
);

CREATE INDEX idx_packed_events_last_at ON packed_events (last_at, first_at);

-- A night replaces one block in ninety: vacuum before they have become many.
ALTER TABLE packed_events SET (
    autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02
);

-- Store events as one block. Types, URLs and data are told apart by their text, byte for byte: as
-- jsonb 1 and 1.0 are equal. Place 0 of `pages` and `referrers` is for those that have none.
CREATE FUNCTION pack_events(events analytics_events[]) RETURNS bigint
LANGUAGE sql SET enable_nestloop = off SET enable_mergejoin = off AS $$
    -- MATERIALIZED and OFFSET: what is computed of an event is computed once
    WITH told AS MATERIALIZED (
        SELECT id, visitor_id, page_url::text COLLATE "C" AS page_url,
               referrer::text COLLATE "C" AS referrer, session_duration, created_at,
               updated_at, deleted_at, epoch_ms,
               (date_part('microseconds', created_at)::integer % 1000)::smallint AS micros,
               CASE WHEN is_place THEN (event_data ->> 'x')::smallint ELSE '-32768'::smallint END
                   AS x,
               CASE WHEN is_place THEN (event_data ->> 'y')::smallint ELSE '-32768'::smallint END
                   AS y,
               (CASE
                   WHEN event_data IS NULL THEN jsonb_build_array(event_type)
                   WHEN is_place THEN jsonb_build_array(event_type, event_data - '{x,y}'::text[])
                   ELSE jsonb_build_array(event_type, event_data)
               END)::text COLLATE "C" AS kind,
               starts_with(id_text, lpad(to_hex(epoch_ms), 12, '0') || '7') AS is_v7,
               ('x' || substr(id_text, 14, 3))::bit(12)::integer::smallint AS id_counter,
               ('x' || substr(id_text, 17))::bit(64)::bigint AS id_tail
        FROM unnest(events)
        CROSS JOIN LATERAL (
            SELECT encode(uuid_send(id), 'hex') AS id_text,
                   round(date_part('epoch', date_trunc('milliseconds', created_at)) * 1000)::bigint
                       AS epoch_ms,
                   coalesce(jsonb_typeof(event_data) = 'object'
                       AND jsonb_typeof(event_data -> 'x') = 'number'
                       AND jsonb_typeof(event_data -> 'y') = 'number'
                       AND event_data ->> 'x' ~ '^-?\d{1,4}$'
                       AND event_data ->> 'y' ~ '^-?\d{1,4}$', false) AS is_place
            OFFSET 0
        ) AS read
    ),
    visitors AS (
        SELECT visitor_id, (row_number() OVER (ORDER BY visitor_id))::smallint AS visitor_place
        FROM (SELECT DISTINCT visitor_id FROM told) AS t
    ),
    kinds AS (
        SELECT kind, (row_number() OVER (ORDER BY kind) - 1)::smallint AS kind_place
        FROM (SELECT DISTINCT kind FROM told) AS t
    ),
    pages AS (
        SELECT page_url, (row_number() OVER (ORDER BY page_url))::smallint AS page_place
        FROM (SELECT DISTINCT page_url FROM told WHERE page_url IS NOT NULL) AS t
    ),
    referrers AS (
        SELECT referrer, (row_number() OVER (ORDER BY referrer))::smallint AS referrer_place
        FROM (SELECT DISTINCT referrer FROM told WHERE referrer IS NOT NULL) AS t
    ),
    tails AS (
        SELECT id_tail, (row_number() OVER (ORDER BY id_tail))::smallint AS tail_place
        FROM (SELECT DISTINCT id_tail FROM told) AS t
    ),
    form AS (
        SELECT min(epoch_ms) AS first_ms,
               bool_and(is_v7) AND (SELECT 2 * count(*) FROM tails) <= count(*) AS compact
        FROM told
    ),
    sorted AS (
        SELECT *
        FROM told
        JOIN visitors USING (visitor_id)
        JOIN kinds USING (kind)
        JOIN tails USING (id_tail)
        LEFT JOIN pages USING (page_url)
        LEFT JOIN referrers USING (referrer)
        ORDER BY visitor_place, created_at, id
    )
    INSERT INTO packed_events
        (first_at, last_at, events, visitor_ids, kinds, pages, referrers, visitor, kind, page,
         referrer, duration, ms_high, ms_low, micros, x, y, id_counter, id_tail, id_tails, ids,
         updated_at, deleted_at)
    SELECT date_trunc('milliseconds', min(created_at)), max(created_at), count(*),
           (SELECT array_agg(visitor_id ORDER BY visitor_place) FROM visitors),
           (SELECT jsonb_agg(kind::jsonb ORDER BY kind_place) FROM kinds),
           (SELECT '[null]' || coalesce(jsonb_agg(page_url ORDER BY page_place), '[]') FROM pages),
           (SELECT '[null]' || coalesce(jsonb_agg(referrer ORDER BY referrer_place), '[]')
            FROM referrers),
           array_agg(visitor_place), array_agg(kind_place), array_agg(coalesce(page_place, 0)),
           array_agg(coalesce(referrer_place, 0)), array_agg(session_duration),
           array_agg(((epoch_ms - first_ms) / 65536)::smallint),
           array_agg(((epoch_ms - first_ms) % 65536 - 32768)::smallint),
           CASE WHEN bool_or(micros <> 0) THEN array_agg(micros) END,
           array_agg(x), array_agg(y),
           CASE WHEN compact THEN array_agg(id_counter) END,
           CASE WHEN compact THEN array_agg(tail_place) END,
           CASE WHEN compact THEN (SELECT array_agg(id_tail ORDER BY tail_place) FROM tails) END,
           CASE WHEN NOT compact THEN array_agg(id) END,
           CASE WHEN bool_or(updated_at <> created_at) THEN array_agg(updated_at) END,
           CASE WHEN count(deleted_at) > 0 THEN array_agg(deleted_at) END
    FROM sorted, form
    GROUP BY compact, first_ms
    RETURNING block_id
$$;

-- All events, plain and packed. Whoever asks for a time names it twice, of `created_at` and of
-- `block_from` and `block_to`, so that only blocks of that time are unpacked; whoever asks for a
-- visitor looks into `block_visitors`, which is NULL for plain events.
CREATE VIEW events AS
SELECT id, visitor_id, event_type, event_data, page_url, referrer, session_duration, created_at,
       updated_at, deleted_at,
       created_at AS block_from, created_at AS block_to, NULL::uuid[] AS block_visitors,
       NULL::bigint AS block_id
FROM analytics_events
UNION ALL
SELECT coalesce(
           b.ids[n],
           (lpad(to_hex(b.first_ms + ms), 12, '0')
               || '7' || lpad(to_hex(b.id_counter[n]::integer), 3, '0')
               || lpad(to_hex(b.id_tails[b.id_tail[n]]), 16, '0'))::uuid
       ),
       b.visitor_ids[b.visitor[n]],
       (b.kinds -> b.kind[n]::integer ->> 0)::varchar(50),
       CASE WHEN b.x[n] = -32768 THEN b.kinds -> b.kind[n]::integer -> 1
           ELSE (b.kinds -> b.kind[n]::integer -> 1) || jsonb_build_object('x', b.x[n], 'y', b.y[n])
       END,
       (b.pages ->> b.page[n]::integer)::varchar(500),
       (b.referrers ->> b.referrer[n]::integer)::varchar(500),
       b.duration[n],
       at,
       coalesce(b.updated_at[n], at),
       b.deleted_at[n],
       p.first_at, p.last_at, p.visitor_ids, p.block_id
FROM packed_events AS p
CROSS JOIN LATERAL (
    -- Adding nothing to a list unpacks it once and not once for each event; OFFSET keeps it so.
    SELECT round(date_part('epoch', p.first_at) * 1000)::bigint AS first_ms,
           p.kinds || '[]' AS kinds, p.pages || '[]' AS pages, p.referrers || '[]' AS referrers,
           p.visitor_ids || '{}'::uuid[] AS visitor_ids, p.visitor || '{}'::smallint[] AS visitor,
           p.kind || '{}'::smallint[] AS kind, p.page || '{}'::smallint[] AS page,
           p.referrer || '{}'::smallint[] AS referrer, p.duration || '{}'::integer[] AS duration,
           p.ms_high || '{}'::smallint[] AS ms_high, p.ms_low || '{}'::smallint[] AS ms_low,
           p.micros || '{}'::smallint[] AS micros, p.x || '{}'::smallint[] AS x,
           p.y || '{}'::smallint[] AS y, p.id_counter || '{}'::smallint[] AS id_counter,
           p.id_tail || '{}'::smallint[] AS id_tail, p.id_tails || '{}'::bigint[] AS id_tails,
           p.ids || '{}'::uuid[] AS ids, p.updated_at || '{}'::timestamptz[] AS updated_at,
           p.deleted_at || '{}'::timestamptz[] AS deleted_at
    OFFSET 0
) AS b
CROSS JOIN LATERAL generate_series(1, p.events) AS n
CROSS JOIN LATERAL (VALUES (b.ms_high[n] * 65536 + b.ms_low[n] + 32768)) AS o (ms)
CROSS JOIN LATERAL (VALUES (
    p.first_at + ms * interval '1 ms' + coalesce(b.micros[n], 0) * interval '1 us'
)) AS t (at);

ALTER TABLE cleanup_runs ADD COLUMN events_packed bigint NOT NULL DEFAULT 0;
