-- name: insert_batch
-- Store one batch and count it, in one round trip. Visitor and rollup rows are locked in sorted
-- order, so that two writers never deadlock. Events that are already stored are not counted
-- again, so the statement can be repeated after a lost reply; of those with the same `event_id` the
-- first one alone is stored. Each parameter is a column: texts between U+001F, with U+001E for NULL,
-- instants in milliseconds. Returns the new absolute values:
-- (kind, name, day, a, b) with kind `period` (events, letters), `theme` (views, -) and
-- `visitors` (seen for the first time, events stored).
WITH input AS MATERIALIZED (
    SELECT
        id, visitor_id, event_type, event_data, page_url, referrer, session_duration,
        timestamptz 'epoch' + milliseconds * interval '1 millisecond' AS created_at,
        day, letter_type, theme, event_id
    FROM unnest(
        string_to_array($1, E'\x1f')::uuid[],
        string_to_array($2, E'\x1f')::uuid[],
        string_to_array($3, E'\x1f'),
        string_to_array($4, E'\x1f', E'\x1e')::jsonb[],
        string_to_array($5, E'\x1f', E'\x1e'),
        string_to_array($6, E'\x1f', E'\x1e'),
        string_to_array($7, E'\x1f')::integer[],
        string_to_array($8, E'\x1f')::bigint[],
        string_to_array($9, E'\x1f')::date[],
        string_to_array($10, E'\x1f', E'\x1e'),
        string_to_array($11, E'\x1f', E'\x1e'),
        string_to_array($12, E'\x1f', E'\x1e')::uuid[]
    ) AS t (
        id, visitor_id, event_type, event_data, page_url, referrer,
        session_duration, milliseconds, day, letter_type, theme, event_id
    )
),
named AS (
    INSERT INTO event_keys (event_id, id, seen_at)
    SELECT DISTINCT ON (event_id) event_id, id, created_at
    FROM input
    WHERE event_id IS NOT NULL
    ORDER BY event_id, created_at, id
    ON CONFLICT DO NOTHING
    RETURNING id
),
fresh AS MATERIALIZED (
    SELECT * FROM input WHERE event_id IS NULL OR id IN (SELECT id FROM named)
),
seen AS (
    INSERT INTO visitors AS v
        (id, ip_hash, browser, os, device, language, first_visit, last_visit)
    SELECT
        id, ip_hash, browser, os, device, coalesce(language, ''),
        timestamptz 'epoch' + first_visit * interval '1 millisecond',
        timestamptz 'epoch' + last_visit * interval '1 millisecond'
    FROM unnest(
        string_to_array($13, E'\x1f')::uuid[],
        string_to_array($14, E'\x1f'),
        string_to_array($15, E'\x1f'),
        string_to_array($16, E'\x1f'),
        string_to_array($17, E'\x1f'),
        string_to_array($18, E'\x1f', E'\x1e'),
        string_to_array($19, E'\x1f')::bigint[],
        string_to_array($20, E'\x1f')::bigint[]
    ) AS u (id, ip_hash, browser, os, device, language, first_visit, last_visit)
    WHERE u.id IN (SELECT visitor_id FROM fresh)
    ORDER BY u.id
    ON CONFLICT (id) DO UPDATE SET
        ip_hash = excluded.ip_hash,
        browser = excluded.browser,
        os = excluded.os,
        device = excluded.device,
        language = excluded.language,
        visit_count = v.visit_count
            + (excluded.first_visit > v.last_visit + interval '30 minutes'
                OR excluded.last_visit < v.first_visit - interval '30 minutes')::integer,
        first_visit = least(v.first_visit, excluded.first_visit),
        last_visit = greatest(v.last_visit, excluded.last_visit)
    RETURNING (xmax = 0) AS is_new
),
stored AS (
    INSERT INTO analytics_events
        (id, visitor_id, event_type, event_data, page_url, referrer,
         session_duration, created_at, updated_at)
    SELECT id, visitor_id, event_type, event_data, page_url, referrer,
           session_duration, created_at, created_at
    FROM fresh
    ORDER BY created_at, id
    ON CONFLICT DO NOTHING
    RETURNING created_at, id
),
unfolded AS (
    INSERT INTO unfolded_events (first_at, last_at, events, ids)
    SELECT min(created_at), max(created_at), count(*), array_agg(id) FROM stored HAVING count(*) > 0
),
counted AS MATERIALIZED (
    SELECT input.*
    FROM input
    JOIN stored USING (created_at, id)
),
placed AS (
    INSERT INTO event_places (created_at, visitor_id, x, y, path, rest, width)
    SELECT created_at, visitor_id, x, y, path, substr(page_url, length(path) + 1), width
    FROM (
        SELECT created_at, visitor_id, page_url,
               event_coordinate(event_data -> 'x') AS x, event_coordinate(event_data -> 'y') AS y,
               event_coordinate(event_data -> 'width') AS width,
               split_part(split_part(page_url, '#', 1), '?', 1) AS path
        FROM counted
    ) AS places
    WHERE x IS NOT NULL AND y IS NOT NULL
),
sums AS MATERIALIZED (
    SELECT day, event_type, letter_type, theme, count(*)::integer AS events
    FROM counted GROUP BY 1, 2, 3, 4
),
by_type AS (
    INSERT INTO rollup_events AS r (day, event_type, events)
    SELECT day, event_type, sum(events) FROM sums GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (day, event_type) DO UPDATE SET events = r.events + excluded.events
),
by_letter AS (
    INSERT INTO rollup_letters AS r (day, letter_type, letters)
    SELECT day, letter_type, sum(events) FROM sums
    WHERE letter_type IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (day, letter_type) DO UPDATE SET letters = r.letters + excluded.letters
),
by_theme AS (
    INSERT INTO rollup_themes AS r (day, theme, views)
    SELECT day, theme, sum(events) FROM sums
    WHERE theme IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (day, theme) DO UPDATE SET views = r.views + excluded.views
),
themes AS (
    INSERT INTO theme_totals AS r (theme, views)
    SELECT theme, sum(events) FROM sums
    WHERE theme IS NOT NULL GROUP BY 1 ORDER BY 1
    ON CONFLICT (theme) DO UPDATE SET views = r.views + excluded.views
    RETURNING theme, views
),
periods AS (
    INSERT INTO rollup_periods AS r (period, period_start, events, letters)
    SELECT p.period, date_trunc(p.period, s.day::timestamp)::date, sum(s.events),
           coalesce(sum(s.events) FILTER (WHERE s.letter_type IS NOT NULL), 0)
    FROM sums AS s
    CROSS JOIN (VALUES ('day'), ('month'), ('week')) AS p (period)
    GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (period, period_start) DO UPDATE
        SET events = r.events + excluded.events, letters = r.letters + excluded.letters
    RETURNING period, period_start, events, letters
)
SELECT 'period' AS kind, period AS name, period_start AS day, events AS a, letters AS b
FROM periods
UNION ALL
SELECT 'theme', theme, NULL, views, 0 FROM themes
UNION ALL
SELECT 'visitors', NULL, NULL,
       (SELECT count(*) FROM seen WHERE is_new), (SELECT count(*) FROM stored);

-- name: select_event_keys
-- Which event came first under each of these names.
SELECT event_id, id FROM event_keys WHERE event_id = ANY($1::uuid[]);

-- name: select_stored
-- Which of these events (ids, instants) are rows.
SELECT e.id
FROM unnest($1::uuid[], $2::timestamptz[]) AS t (id, created_at)
JOIN analytics_events AS e USING (created_at, id);

-- name: forget_event_keys
-- Delete one bite of the names that were given before $1.
WITH old AS (
    SELECT event_id FROM event_keys WHERE seen_at < $1 ORDER BY seen_at LIMIT $2
    FOR UPDATE SKIP LOCKED
),
deleted AS (
    DELETE FROM event_keys AS k USING old WHERE k.event_id = old.event_id RETURNING 1
)
SELECT count(*) FROM deleted;

-- name: ping
-- Prove that the database answers.
SELECT 1;
