"""PostgreSQL and Redis: the only room that speaks to them."""
