-- A coordinate as heatmaps group it: rounded; NULL for what is no number or no place on a page.
CREATE FUNCTION event_coordinate(value jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- CASE, because a planner may check conditions in any order and a cast can fail
    SELECT CASE jsonb_typeof(value) WHEN 'number' THEN
        CASE WHEN abs(round(value::numeric)) < 2147483648 THEN round(value::numeric)::integer END
    END
$$;

-- Where the events of the last days happened: all that a heatmap reads. Written in the transaction
-- of the events; what is older than the longest heatmap is deleted. The page's URL is `path || rest`.
CREATE TABLE event_places (
    created_at timestamptz NOT NULL,
    visitor_id uuid NOT NULL,
    x          integer NOT NULL,
    y          integer NOT NULL,
    path       text,
    rest       text
) WITH (
    -- often, so that a heatmap reads the index alone
    autovacuum_vacuum_insert_threshold = 5000, autovacuum_vacuum_insert_scale_factor = 0.01
);

INSERT INTO event_places (created_at, visitor_id, x, y, path, rest)
SELECT created_at, visitor_id, x, y, path, substr(page_url, length(path) + 1)
FROM (
    SELECT created_at, visitor_id, page_url,
           event_coordinate(event_data -> 'x') AS x, event_coordinate(event_data -> 'y') AS y,
           split_part(split_part(page_url, '#', 1), '?', 1) AS path
    FROM events
    WHERE created_at >= now() - interval '8 days' AND block_to >= now() - interval '8 days'
) AS places
WHERE x IS NOT NULL AND y IS NOT NULL
ORDER BY created_at;

-- Read in the order of places, so that those are counted without a hash table of all of them.
CREATE INDEX idx_event_places_place ON event_places (x, y, created_at) INCLUDE (path, rest);
CREATE INDEX idx_event_places_visitor_id ON event_places (visitor_id);
-- For the cleanup: rows come in the order of time and leave in it. An expression, so that heatmaps keep
-- to the index above whatever the planner thinks of their window.
CREATE INDEX idx_event_places_created_at ON event_places USING brin ((created_at AT TIME ZONE 'UTC'))
    WITH (pages_per_range = 16, autosummarize = on);
ANALYZE event_places;
