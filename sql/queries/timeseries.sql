-- name: select_days
-- What happened on each day from $1 to $2, and how many of its visitors had not been here in the days
-- from $3[n] on, where the n-th day is in the bucket that begins on $3[n].
SELECT r.day, r.visitors[least(r.day - b.first + 1, 32)] AS visitors, r.visits, r.events,
       r.views AS page_views, r.letters
FROM unnest($3::date[]) WITH ORDINALITY AS b (first, n)
JOIN rollup_values AS r ON r.dimension = 'all' AND r.value = '' AND r.day = $1::date + b.n::integer - 1
WHERE r.day <= $2::date;

-- name: select_hours
-- What happened in each hour from $1 to $2 exclusive.
SELECT hour, visitors, visits, events, views AS page_views, letters
FROM rollup_hours
WHERE hour >= $1 AND hour < $2;

-- name: select_buckets_of_visits
-- What happened in each bucket (an hour of the zone $9 when $8 is true, else the first day of it as in
-- $10 for the days from $1 to $2) in the visits that match filters ($3 to $7, as in
-- select_summary_of_visits). Of an hour is what belongs to visits that began in it.
WITH buckets AS (
    SELECT first, $1::date + n::integer - 1 AS day FROM unnest($10::date[]) WITH ORDINALITY AS b (first, n)
)
SELECT bucket, count(*) AS visitors, sum(visits)::bigint AS visits, sum(events)::bigint AS events,
       sum(page_views)::bigint AS page_views, sum(letters)::bigint AS letters
FROM (
    SELECT CASE WHEN $8::boolean THEN date_trunc('hour', started_at, $9)
               ELSE b.first::timestamp AT TIME ZONE 'UTC' END AS bucket,
           visitor_id, count(*) AS visits, sum(events) AS events, sum(page_views) AS page_views,
           sum(letters) AS letters
    FROM visits_between($1, $2, $3, $4, $5, $6)
    JOIN buckets AS b USING (day)
    WHERE $7::text IS NULL OR EXISTS (
        SELECT FROM visitors AS w WHERE w.id = visitor_id AND w.profile_detected = $7)
    GROUP BY 1, visitor_id
) AS each
GROUP BY bucket;

-- name: select_buckets_of_events
-- The same of the events that match more filters, and of the visits that have such events ($3 to $10,
-- as in select_summary_of_events; then as above).
WITH buckets AS (
    SELECT first, $1::date + n::integer - 1 AS day FROM unnest($13::date[]) WITH ORDINALITY AS b (first, n)
),
facts AS MATERIALIZED (
    SELECT visit, visitor_id, day, sum(count) AS events,
           sum(count) FILTER (WHERE type = 'page_view') AS page_views,
           sum(count) FILTER (WHERE type = 'letter_generate') AS letters
    FROM facts_between($1, $2, $3, $4, $5, $6, $7,
                       CASE WHEN $8::text IS NOT NULL THEN ARRAY[$8] END, $9)
    WHERE $10::text IS NULL OR EXISTS (
        SELECT FROM visitors AS w WHERE w.id = visitor_id AND w.profile_detected = $10)
    GROUP BY visit, visitor_id, day
),
begun AS (
    SELECT visit, date_trunc('hour', started_at, $12) AS hour
    FROM visits_between($1, $2, $3, $4, $5, $6, $7, $8, $9)
    WHERE $11::boolean
)
SELECT coalesce(hour, b.first::timestamp AT TIME ZONE 'UTC') AS bucket,
       count(DISTINCT visitor_id) AS visitors, count(*) AS visits, sum(events)::bigint AS events,
       coalesce(sum(page_views), 0)::bigint AS page_views, coalesce(sum(letters), 0)::bigint AS letters
FROM facts
JOIN buckets AS b USING (day)
LEFT JOIN begun USING (visit)
GROUP BY 1;
