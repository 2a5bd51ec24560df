"""Many runs as one table: comparisons and rankings as Markdown, CSV and pages to look at."""
