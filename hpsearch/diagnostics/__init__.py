"""What a careful person checks while networks train."""
