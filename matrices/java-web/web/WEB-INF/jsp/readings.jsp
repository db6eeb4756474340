<%@ include file="head.jspf" %>
<%@ include file="menu.jspf" %>
<h1>设备读数 Readings</h1>
<form method="get" action="<%= root %>/readings"><input name="device" value="<%= Html.text(request.getAttribute("device")) %>">
<button>查询 Search</button> <button name="export" value="1">导出 Export</button></form>
<form method="post" action="<%= root %>/readings" enctype="multipart/form-data"><%= csrf %>
<input type="file" name="file" accept=".csv" required><button>导入 Import</button></form>
<h2>汇总 Summary</h2>
<table><tr><th>设备 Device</th><th>条数 Readings</th><th>最低 Lowest</th><th>最高 Highest</th></tr>
<% for (Object item : (List<?>) request.getAttribute("summaries")) { Readings.Summary summary = (Readings.Summary) item; %>
<tr><td><%= Html.text(summary.device()) %></td><td><%= summary.readings() %></td>
<td><%= Html.text(summary.lowest().toPlainString()) %></td><td><%= Html.text(summary.highest().toPlainString()) %></td></tr>
<% } %></table>
<h2>明细 Readings</h2>
<table><tr><th>设备 Device</th><th>时间 Time</th><th>数值 Value</th><th>单位 Unit</th></tr>
<% for (Object item : (List<?>) request.getAttribute("readings")) { Readings.Reading reading = (Readings.Reading) item; %>
<tr><td><%= Html.text(reading.device()) %></td><td><%= Html.text(reading.time()) %></td>
<td><%= Html.text(reading.amount().toPlainString()) %></td><td><%= Html.text(reading.unit()) %></td></tr>
<% } %></table>
</body></html>
