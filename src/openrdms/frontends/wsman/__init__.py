"""WS-Management: SOAP in, SOAP out."""
