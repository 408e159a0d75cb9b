"""CIM-XML (DSP0200, DSP0201) over the CIM object manager."""
