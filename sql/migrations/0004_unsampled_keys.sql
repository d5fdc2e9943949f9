-- ANALYZE copies values into pg_statistic, which is logged and backed up: not these.
ALTER TABLE address_keys ALTER COLUMN key SET STATISTICS 0;
